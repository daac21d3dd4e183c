"""The test guest: a Linux of one file that answers, asks and reports, for the twin and for tests."""
