//! The client against an M3 of bytes: what is said on the wire, and what becomes of a session when something goes wrong.

mod fake;
mod logons;
mod pooling;
mod replies;
mod requests;
mod sessions;
mod tunnel;
