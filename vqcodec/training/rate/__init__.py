"""What training knows of rates: densities, the float parent of the context prior, and the integer tables of either."""
