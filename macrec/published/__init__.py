"""What released code of the papers does, where it differs from ours."""
