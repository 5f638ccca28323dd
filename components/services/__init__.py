"""Services of the mesh: exports, routes and policies, for samples and for the services of other owners."""
