//! The MI socket protocol: frames, logon, sessions.

mod client;
mod frame;
mod logon;
mod reply;
mod session;

pub(super) use client::Sockets;
pub use frame::read_frame;
pub(super) use reply::Reply;
