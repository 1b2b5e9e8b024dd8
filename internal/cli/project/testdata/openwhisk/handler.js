exports.hello = (params) => ({ hello: params.name });
exports.raw = (params) => ({ body: String(params.name) + ' ' + params.__ow_body });
