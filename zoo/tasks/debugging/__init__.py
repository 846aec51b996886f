"""Reports that help to find out why a network does not learn."""
