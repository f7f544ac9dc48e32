//! The MI socket protocol: frames, logon, sessions, and the pool of them.

mod frame;
mod logon;
mod pool;
mod queue;
mod reply;
mod session;

pub use frame::read_frame;
pub(super) use logon::Dialler;
pub(super) use pool::{Key, Lease, Pool};
pub use reply::Reply;
pub(super) use session::Session;
