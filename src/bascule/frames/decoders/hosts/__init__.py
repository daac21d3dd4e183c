"""What hosts say: whose address is whose, and who hands them out."""
