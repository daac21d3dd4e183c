"""Is it so? Checks and expectations, each with a verdict and a witness."""
