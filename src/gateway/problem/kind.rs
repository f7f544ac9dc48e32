//! The closed list of what can go wrong, with its statuses and words. No wildcard arm: a new kind does not compile
//! before it has an answer.

#![deny(clippy::wildcard_enum_match_arm)]

use http::StatusCode;

/// What went wrong, as a closed list. The slug of each is stable: clients and alerts hang on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    RequestUnreadable,
    CursorNotPossible,
    CursorInvalid,
    CharacterNotInCharset,
    MessageUnreadable,
    TokenMissing,
    TokenInvalid,
    ProofInvalid,
    ScopeMissing,
    TenantMismatch,
    Blocked,
    PolicyDenied,
    ValueNotComparable,
    UserMissing,
    RunAsRefused,
    CompanyNotProvable,
    SenderUnknown,
    NotItsDocument,
    RouteUnknown,
    MethodNotAllowed,
    RequestInFlight,
    KeyReused,
    NotConfigured,
    BodyTooLarge,
    MediaTypeUnsupported,
    UriTooLong,
    RateLimited,
    QuotaSpent,
    TooManyInFlight,
    Internal,
    KeysUnavailable,
    IssuerUnavailable,
    ProofsFull,
    M3Unreachable,
    M3Busy,
    M3Refused,
    M3Incomprehensible,
    LayoutUnstable,
    AuditUnavailable,
    OutboxUnavailable,
    QuotaUnavailable,
    M3Timeout,
    OutcomeUnknown,
    RequestTimeout,
}

impl Kind {
    pub const ALL: &'static [Self] = &[
        Self::RequestUnreadable,
        Self::CursorNotPossible,
        Self::CursorInvalid,
        Self::CharacterNotInCharset,
        Self::MessageUnreadable,
        Self::TokenMissing,
        Self::TokenInvalid,
        Self::ProofInvalid,
        Self::ScopeMissing,
        Self::TenantMismatch,
        Self::Blocked,
        Self::PolicyDenied,
        Self::ValueNotComparable,
        Self::UserMissing,
        Self::RunAsRefused,
        Self::CompanyNotProvable,
        Self::SenderUnknown,
        Self::NotItsDocument,
        Self::RouteUnknown,
        Self::MethodNotAllowed,
        Self::RequestInFlight,
        Self::KeyReused,
        Self::NotConfigured,
        Self::BodyTooLarge,
        Self::MediaTypeUnsupported,
        Self::UriTooLong,
        Self::RateLimited,
        Self::QuotaSpent,
        Self::TooManyInFlight,
        Self::Internal,
        Self::KeysUnavailable,
        Self::IssuerUnavailable,
        Self::ProofsFull,
        Self::M3Unreachable,
        Self::M3Busy,
        Self::M3Refused,
        Self::M3Incomprehensible,
        Self::LayoutUnstable,
        Self::AuditUnavailable,
        Self::OutboxUnavailable,
        Self::QuotaUnavailable,
        Self::M3Timeout,
        Self::OutcomeUnknown,
        Self::RequestTimeout,
    ];

    pub fn status(self) -> StatusCode {
        match self {
            Self::RequestUnreadable
            | Self::CursorNotPossible
            | Self::CursorInvalid
            | Self::CharacterNotInCharset
            | Self::MessageUnreadable => StatusCode::BAD_REQUEST,
            Self::TokenMissing | Self::TokenInvalid | Self::ProofInvalid => StatusCode::UNAUTHORIZED,
            Self::ScopeMissing
            | Self::TenantMismatch
            | Self::Blocked
            | Self::PolicyDenied
            | Self::ValueNotComparable
            | Self::UserMissing
            | Self::RunAsRefused
            | Self::CompanyNotProvable
            | Self::SenderUnknown
            | Self::NotItsDocument => StatusCode::FORBIDDEN,
            Self::RouteUnknown => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::RequestInFlight => StatusCode::CONFLICT,
            Self::KeyReused => StatusCode::UNPROCESSABLE_ENTITY,
            Self::NotConfigured => StatusCode::PRECONDITION_FAILED,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::MediaTypeUnsupported => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::UriTooLong => StatusCode::URI_TOO_LONG,
            Self::RateLimited | Self::QuotaSpent | Self::TooManyInFlight => StatusCode::TOO_MANY_REQUESTS,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::KeysUnavailable
            | Self::IssuerUnavailable
            | Self::ProofsFull
            | Self::M3Unreachable
            | Self::M3Busy
            | Self::M3Refused
            | Self::M3Incomprehensible
            | Self::LayoutUnstable
            | Self::AuditUnavailable
            | Self::OutboxUnavailable
            | Self::QuotaUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::M3Timeout | Self::OutcomeUnknown | Self::RequestTimeout => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// Slug, title, and what to do next.
    #[expect(clippy::too_many_lines, reason = "it is a table")]
    pub fn words(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::RequestUnreadable => (
                "request-unreadable",
                "The request can't be read",
                "Correct the request as the detail says; nothing was sent to M3.",
            ),
            Self::CursorNotPossible => (
                "cursor-not-possible",
                "This list can't be taken up where it was left",
                "Leave the cursor out, and position by the transaction's own fields.",
            ),
            Self::CursorInvalid => {
                ("cursor-invalid", "The cursor is not good for this call", "Begin the list again without it.")
            }
            Self::CharacterNotInCharset => (
                "character-not-in-charset",
                "M3 can't hold a character of the request",
                "Replace the character; nothing was sent to M3.",
            ),
            Self::MessageUnreadable => {
                ("message-unreadable", "The message can't be read", "Correct the message; it was not taken.")
            }
            Self::SenderUnknown => (
                "sender-unknown",
                "The client may not speak under this logical id",
                "Ask the operators to name the client, its logical ids and its point in [[inbound.senders]].",
            ),
            Self::NotItsDocument => (
                "not-its-document",
                "The message speaks of a document that was not sent to this client's point",
                "Answer documents that were sent to you, by the BODID in them.",
            ),
            Self::NotConfigured => (
                "document-not-configured",
                "The message is for no connection point and no document that is taken here",
                "Take the document or the receiver out of what is sent to this gateway.",
            ),
            Self::TokenMissing => (
                "token-missing",
                "No bearer token",
                "Get a token from an issuer that /.well-known/oauth-protected-resource names, and send it as Authorization: Bearer.",
            ),
            Self::TokenInvalid => {
                ("token-invalid", "The bearer token is not accepted", "Get a new token and try once more.")
            }
            Self::ScopeMissing => (
                "scope-missing",
                "The token lacks a scope that its issuer's tokens must have here",
                "Ask for a token with the scope that is named.",
            ),
            Self::TenantMismatch => {
                ("tenant-mismatch", "The path names another tenant", "Use the tenant that the token was issued for.")
            }
            Self::Blocked => (
                "blocked",
                "The operators have blocked this",
                "Ask the operators, and tell them the decision id; another token does not help.",
            ),
            Self::PolicyDenied => (
                "policy-denied",
                "No policy allows this",
                "Ask the owners of the policy for it, and tell them the request id.",
            ),
            Self::ValueNotComparable => (
                "value-not-comparable",
                "A rule reads a value that it can't compare",
                "Send fewer decimals, or ask the owners of the policy.",
            ),
            Self::UserMissing => {
                ("m3-user-missing", "The client has no M3 user", "Ask the operators to map an M3 user to this client.")
            }
            Self::RunAsRefused => {
                ("run-as-refused", "The client may not run as another M3 user", "Leave the option m3user out.")
            }
            Self::CompanyNotProvable => (
                "company-not-provable",
                "M3 would run this in another company",
                "The M3 user can't be proven to work in the company asked for; ask the operators.",
            ),
            Self::RouteUnknown => ("route-unknown", "There is nothing at this path", "See the API's documentation."),
            Self::MethodNotAllowed => {
                ("method-not-allowed", "The method is not one of this path's", "Use a method that Allow names.")
            }
            Self::RequestInFlight => (
                "request-in-flight",
                "The same request is being done",
                "Ask again as Retry-After says, with the same Idempotency-Key.",
            ),
            Self::KeyReused => (
                "idempotency-key-reused",
                "The Idempotency-Key stands for another request",
                "Send another request with a key of its own.",
            ),
            Self::BodyTooLarge => ("body-too-large", "The request body is too large", "Send a smaller body."),
            Self::MediaTypeUnsupported => (
                "media-type-unsupported",
                "The body is of a type that this path does not read",
                "Send the type that the detail names.",
            ),
            Self::UriTooLong => ("uri-too-long", "The URL is too long", "Send fewer or shorter parameters."),
            Self::RateLimited => ("rate-limited", "Too many requests", "Wait as long as Retry-After says."),
            Self::QuotaSpent => (
                "quota-spent",
                "The client's quota is spent",
                "Wait as long as Retry-After says, or ask the operators for a larger quota.",
            ),
            Self::TooManyInFlight => (
                "too-many-in-flight",
                "Too many calls of the client are in flight",
                "Read earlier answers to their end, then try again.",
            ),
            Self::Internal => (
                "internal",
                "The gateway met a bug",
                "Tell the operators the request id. Whether a write was done is not known.",
            ),
            Self::IssuerUnavailable => (
                "issuer-unavailable",
                "The token's issuer can't be asked about it",
                "Try again in a moment; if it lasts, the gateway's log says why the issuer gives no answer.",
            ),
            Self::ProofsFull => (
                "proofs-full",
                "No more proofs of this client can be remembered at the moment",
                "Send fewer calls at once, or ask the operators for a larger dpop.max_proofs.",
            ),
            Self::ProofInvalid => (
                "proof-invalid",
                "The proof of the token's key is not accepted",
                "Make a new proof for this very request; where a DPoP-Nonce header came along, with that nonce in it.",
            ),
            Self::KeysUnavailable => (
                "keys-unavailable",
                "The keys of the token's issuer can't be had",
                "Try again later with the same token.",
            ),
            Self::M3Unreachable => {
                ("m3-unreachable", "M3 can't be reached", "Try again later; nothing was done in M3.")
            }
            Self::M3Busy => {
                ("m3-busy", "Every session to M3 is busy", "Try again as Retry-After says; nothing was done.")
            }
            Self::M3Refused => (
                "m3-logon-refused",
                "M3 does not let the client's user in",
                "Ask the operators to check the M3 user, its password and its program.",
            ),
            Self::M3Incomprehensible => (
                "m3-incomprehensible",
                "M3 answered what the gateway does not understand",
                "Tell the operators the request id.",
            ),
            Self::LayoutUnstable => {
                ("layout-unstable", "M3's layout of the transaction is changing", "Try again; nothing was sent to M3.")
            }
            Self::AuditUnavailable => (
                "audit-unavailable",
                "The call can't be written down",
                "Try again later; nothing was sent to M3. Operators see the reason at /readyz.",
            ),
            Self::OutboxUnavailable => (
                "outbox-unavailable",
                "The write can't be written down",
                "Try again later; nothing was sent to M3. Operators see the reason at /readyz.",
            ),
            Self::QuotaUnavailable => (
                "quota-unavailable",
                "The call can't be counted",
                "Try again later; nothing was sent to M3. The gateway's log says why.",
            ),
            Self::M3Timeout => ("m3-timeout", "M3 did not answer in time", "Try again, or ask for fewer records."),
            Self::OutcomeUnknown => (
                "outcome-unknown",
                "Whether the write was done is not known",
                "Read the record back before you try again; the gateway has not repeated the write.",
            ),
            Self::RequestTimeout => ("request-timeout", "The request took too long", "Try again later."),
        }
    }

    /// `errorType` of a bulk call's result.
    pub fn error_type(self) -> &'static str {
        match self {
            Self::RequestUnreadable => "RequestUnreadable",
            Self::CursorNotPossible => "CursorNotPossible",
            Self::CursorInvalid => "CursorInvalid",
            Self::CharacterNotInCharset => "CharacterNotInCharset",
            Self::MessageUnreadable => "MessageUnreadable",
            Self::SenderUnknown => "SenderUnknown",
            Self::NotItsDocument => "NotItsDocument",
            Self::NotConfigured => "DocumentNotConfigured",
            Self::TokenMissing => "TokenMissing",
            Self::TokenInvalid => "TokenInvalid",
            Self::ScopeMissing => "ScopeMissing",
            Self::TenantMismatch => "TenantMismatch",
            Self::Blocked => "Blocked",
            Self::PolicyDenied => "PolicyDenied",
            Self::ValueNotComparable => "ValueNotComparable",
            Self::UserMissing => "M3UserMissing",
            Self::RunAsRefused => "RunAsRefused",
            Self::CompanyNotProvable => "CompanyNotProvable",
            Self::RouteUnknown => "RouteUnknown",
            Self::MethodNotAllowed => "MethodNotAllowed",
            Self::BodyTooLarge => "BodyTooLarge",
            Self::MediaTypeUnsupported => "MediaTypeUnsupported",
            Self::UriTooLong => "UriTooLong",
            // One word of the contract; the message says which limit it was.
            Self::RateLimited | Self::QuotaSpent | Self::TooManyInFlight => "RateLimited",
            Self::Internal => "Internal",
            Self::KeysUnavailable => "KeysUnavailable",
            Self::IssuerUnavailable => "IssuerUnavailable",
            Self::ProofsFull => "ProofsFull",
            Self::ProofInvalid => "ProofInvalid",
            Self::M3Unreachable => "M3Unreachable",
            Self::M3Busy => "M3Busy",
            Self::M3Refused => "M3LogonRefused",
            Self::M3Incomprehensible => "M3Incomprehensible",
            Self::LayoutUnstable => "LayoutUnstable",
            Self::AuditUnavailable => "AuditUnavailable",
            Self::OutboxUnavailable => "OutboxUnavailable",
            Self::RequestInFlight => "RequestInFlight",
            Self::KeyReused => "IdempotencyKeyReused",
            Self::QuotaUnavailable => "QuotaUnavailable",
            Self::M3Timeout => "M3Timeout",
            Self::OutcomeUnknown => "OutcomeUnknown",
            Self::RequestTimeout => "RequestTimeout",
        }
    }

    /// The next transaction of a bulk call would fare no better, or must not overtake what is unknown.
    pub fn ends_a_run(self) -> bool {
        let of_all = [Self::RequestInFlight, Self::TokenInvalid].contains(&self);
        self.status().is_server_error() || self.is_of_limits() || of_all
    }

    /// The client had too much, and none of it was done.
    pub fn is_of_limits(self) -> bool {
        self.status() == StatusCode::TOO_MANY_REQUESTS
    }

    pub fn slug(self) -> &'static str {
        self.words().0
    }
}
