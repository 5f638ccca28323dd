"""What a change of a stack will do inside the clusters, as a reviewer reads it. The program imports none of it."""
