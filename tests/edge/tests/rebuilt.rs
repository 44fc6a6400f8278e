//! The edge's tests once more, over a gateway that is built of the public layers with `ServiceBuilder`: a step is the same code
//! in both.

#[path = "edge.rs"]
mod edge;
#[path = "upstreams.rs"]
mod upstreams;
