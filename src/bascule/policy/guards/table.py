"""By which name the kernel knows the guards."""

FAMILY, TABLE = "bridge", "bascule_guards"
ATTACK_PORT = "bascule-attack"  # from which `verify --attack` sends
KEY = f"{FAMILY} {TABLE}"
