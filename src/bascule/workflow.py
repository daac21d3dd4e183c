"""The page to read first: each verb as a few straight lines over the folders below."""
