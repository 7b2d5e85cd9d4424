"""Workers: the processes that route and call, with an entrance for each; here money is spent."""
