module.exports = ({ n }) => n;
