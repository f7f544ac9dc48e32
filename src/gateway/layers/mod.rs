//! The steps of the stack, each an async function; their order and its reasons are in `stack`.

pub(super) mod access;
pub(super) mod authn;
pub(super) mod authz;
pub(super) mod block;
pub(super) mod browser;
pub(super) mod checkpoint;
pub(super) mod limits;
pub(super) mod quota;
pub(super) mod tenant;
