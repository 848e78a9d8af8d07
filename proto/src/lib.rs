//! The wire contract of Unspool, generated from `unspool/v1/*.proto`; the comments there say what each field means.
//!
//! After a change of those files run `UNSPOOL_PROTO_WRITE=1 cargo test -p unspool-proto`; without the variable that test
//! fails where the committed code is not what they give.
//!
//! Start reading at `unspool/v1/session.proto`. Fields are only ever added; what a limit means is said where it is named.

/// `unspool.v1`: messages, and a client and a server for each service.
pub mod v1 {
    include!("unspool.v1.rs");
}

/// The files' descriptors, an encoded `google.protobuf.FileDescriptorSet` with comments: for reflection and for clients.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!("../unspool.v1.binpb");
