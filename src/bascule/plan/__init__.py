"""The difference between what is and what shall be, pure: target, diff, order, risk, batch."""
