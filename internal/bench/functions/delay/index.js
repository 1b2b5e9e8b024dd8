// Notes how long ago each event was sent; asked without one, tells all it has noted.
const delays = [];
exports.handler = async (event) => {
  const now = performance.timeOrigin + performance.now();
  if (event.sent === undefined) return delays;
  delays.push(now - event.sent);
};
