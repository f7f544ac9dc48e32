//! The integration tests: one binary, a file per promise.

mod audit;
mod bod;
mod bulk;
mod cases;
mod catalog;
mod confirm;
#[path = "../fuzz/src/lib.rs"]
#[expect(unreachable_pub, reason = "a library of its own, whose tests run here too")]
mod corpus;
mod databases;
mod deliveries;
mod doors;
mod dpop;
mod effects;
mod fabric;
mod floors;
mod forgeries;
mod hostile;
mod house;
mod idp;
mod inbound;
mod issuers;
mod lists;
mod main_job;
mod mutual;
mod openapi;
mod outbox;
mod outcomes;
mod outside;
mod places;
mod process;
mod publishing;
mod receiver;
mod refusals;
mod rest;
mod scan;
mod sdk;
mod smuggling;
mod spellings;
mod stops;
mod surface;
mod tokens;
mod wire;
mod workbench;
