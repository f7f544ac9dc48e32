//! A rule's head: whom, what and which transaction it speaks of, so that most rules are never evaluated at all.
//!
//! Invariant: a head matches here exactly when Cedar's own would.

use super::identity::{self, TYPES};
use crate::model::{Effect, ProgramName, TransactionName};
use cedar_policy::{ActionConstraint, EntityUid, Policy, PrincipalConstraint, ResourceConstraint};

#[derive(Debug, Clone)]
pub(super) struct Scope {
    principal: PrincipalConstraint,
    action: ActionConstraint,
    resource: ResourceConstraint,
}

/// One transaction as Cedar sees it.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// The typed action where a rule names one, else the class.
    pub(super) action: EntityUid,
    pub(super) class: EntityUid,
    pub(super) resource: EntityUid,
    pub(super) program: EntityUid,
}

impl Target {
    pub(super) fn new(program: ProgramName, transaction: TransactionName, effect: Effect, typed: bool) -> Self {
        let class = identity::action(class_name(effect));
        let action = if typed { identity::action(&identity::pair_text(program, transaction)) } else { class.clone() };
        let resource = identity::transaction(program, transaction);
        Self { action, class, resource, program: identity::program(program) }
    }
}

/// The classes of actions; a word of the session has none that a rule could name.
pub(super) fn class_name(effect: Effect) -> &'static str {
    match effect {
        Effect::Read => "read",
        Effect::Write => "write",
        Effect::Raw => "raw",
        Effect::Session => "session",
    }
}

impl Scope {
    pub(super) fn of(policy: &Policy) -> Self {
        Self {
            principal: policy.principal_constraint(),
            action: policy.action_constraint(),
            resource: policy.resource_constraint(),
        }
    }

    /// The client or group that the head names.
    pub(super) fn whom(&self) -> Option<&EntityUid> {
        match &self.principal {
            PrincipalConstraint::Any | PrincipalConstraint::Is(_) => None,
            PrincipalConstraint::Eq(uid) | PrincipalConstraint::In(uid) | PrincipalConstraint::IsIn(_, uid) => {
                Some(uid)
            }
        }
    }

    /// `principals`: the client itself and every group it is in.
    pub(super) fn speaks_of(&self, principals: &[EntityUid]) -> bool {
        match &self.principal {
            PrincipalConstraint::Any => true,
            PrincipalConstraint::Is(kind) => *kind == TYPES.client,
            PrincipalConstraint::Eq(uid) => principals.first() == Some(uid),
            PrincipalConstraint::In(uid) => principals.contains(uid),
            PrincipalConstraint::IsIn(kind, uid) => *kind == TYPES.client && principals.contains(uid),
        }
    }

    pub(super) fn reaches(&self, target: &Target) -> bool {
        let at = |uid: &EntityUid| *uid == target.resource || *uid == target.program;
        let resource = match &self.resource {
            ResourceConstraint::Any => true,
            ResourceConstraint::Is(kind) => *kind == TYPES.transaction,
            ResourceConstraint::Eq(uid) => *uid == target.resource,
            ResourceConstraint::In(uid) => at(uid),
            ResourceConstraint::IsIn(kind, uid) => *kind == TYPES.transaction && at(uid),
        };
        resource
            && match &self.action {
                ActionConstraint::Any => true,
                ActionConstraint::Eq(uid) => *uid == target.action,
                ActionConstraint::In(uids) => uids.iter().any(|uid| *uid == target.action || *uid == target.class),
            }
    }

    /// Names this one transaction, by resource or by typed action: what a query over any table asks for.
    pub(super) fn names(&self, target: &Target) -> bool {
        let by_resource = matches!(&self.resource, ResourceConstraint::Eq(uid) if *uid == target.resource);
        let by_action = target.action != target.class && self.actions().contains(&target.action);
        self.reaches(target) && (by_resource || by_action)
    }

    pub(super) fn names_one_resource(&self) -> bool {
        matches!(self.resource, ResourceConstraint::Eq(_))
    }

    pub(super) fn actions(&self) -> &[EntityUid] {
        match &self.action {
            ActionConstraint::Any => &[],
            ActionConstraint::Eq(uid) => std::slice::from_ref(uid),
            ActionConstraint::In(uids) => uids,
        }
    }

    pub(super) fn action_by_equality(&self) -> Option<&EntityUid> {
        match &self.action {
            ActionConstraint::Eq(uid) => Some(uid),
            ActionConstraint::Any | ActionConstraint::In(_) => None,
        }
    }
}
