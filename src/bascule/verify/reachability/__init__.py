"""Who reaches whom on this host, and why not: the questions of ``bascule why`` and ``bascule reach``."""
