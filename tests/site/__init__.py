# ruff: noqa: A005 -- named after the folder under test, imported as tests.site only
