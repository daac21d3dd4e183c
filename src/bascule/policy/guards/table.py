"""By which name the kernel knows the guards."""

FAMILY, TABLE = "bridge", "bascule_guards"
KEY = f"{FAMILY} {TABLE}"
