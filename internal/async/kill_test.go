package async

func platformUntilKilled(dir, log string) {}
