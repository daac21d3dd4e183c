"""One file per verb, each with its command; imported when the verb is asked for."""
