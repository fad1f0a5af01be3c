// Loaded before a server of the stack: where it names no address, it listens on this machine's own only.
"use strict";

const { Server } = require("net");

const listen = Server.prototype.listen;

Server.prototype.listen = function (where, ...others) {
  const options = typeof where === "object" && where !== null ? where : { port: where };
  const anywhere = options.port !== undefined && !isNaN(options.port) && !options.host && typeof others[0] !== "string";
  return anywhere ? listen.call(this, { ...options, host: "127.0.0.1" }, ...others) : listen.call(this, where, ...others);
};
