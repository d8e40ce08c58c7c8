"""Writing a model in another form: the written file is run and its zeros are counted."""
