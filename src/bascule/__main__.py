"""``python -m bascule``, and the program ``bascule``."""

import signal


def program() -> None:
    """Run the command line. Ctrl-C while it is still being imported ends it without a word, as it does any program."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # until bascule.cli.entry.run takes it
    from bascule.cli import program as run_verb

    run_verb()


if __name__ == "__main__":
    program()
