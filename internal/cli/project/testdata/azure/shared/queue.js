exports.take = async (context, item) => item;
