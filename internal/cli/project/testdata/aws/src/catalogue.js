exports.list = async () => [process.env.TABLE, process.env.PAGE];
