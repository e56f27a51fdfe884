"""The administrator's page: behind a password, apart from everything that raters are served."""
