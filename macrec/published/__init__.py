"""The behavior of the code released with the papers, where it differs from ours."""
