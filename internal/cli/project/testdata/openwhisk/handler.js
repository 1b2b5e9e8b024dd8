exports.hello = (params) => ({ hello: params.name });
