"""Terms of the candidates' scores: the trend and the relation."""
