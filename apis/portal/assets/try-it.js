// filled in with the console
