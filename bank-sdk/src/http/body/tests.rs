use http::HeaderMap;

use super::*;

#[tokio::test]
async fn a_body_over_its_limit_is_refused() {
    assert!(matches!(Body::from("12345").read(4).await, Err(ReadError::TooLarge(4))));
    assert_eq!(Body::from("1234").read(4).await.unwrap(), "1234");
}

#[tokio::test]
async fn a_permit_is_held_until_the_end_of_the_body_whoever_looks_on() {
    use std::sync::Arc;
    use tokio::sync::Semaphore;

    struct NoRoom;
    impl Watch for NoRoom {
        fn ended(&mut self, _: End) {}
    }
    struct Room(Option<OwnedSemaphorePermit>);
    impl Watch for Room {
        fn ended(&mut self, _: End) {
            self.0 = None;
        }
        fn hold(&mut self, permit: OwnedSemaphorePermit) -> Option<OwnedSemaphorePermit> {
            self.0.replace(permit)
        }
    }
    let permits = Arc::new(Semaphore::new(1));
    let bodies = [
        Body::from("abc"),
        Body::from("abc").watched_by(NoRoom),
        Body::from("abc").watched_by(NoRoom).watched_by(NoRoom).watched_by(NoRoom),
        Body::from("abc").watched_by(Room(None)),
    ];
    for body in bodies {
        let body = body.holding(permits.clone().try_acquire_owned().unwrap());
        assert_eq!(permits.available_permits(), 0);
        assert_eq!(body.read(10).await.unwrap(), "abc");
        assert_eq!(permits.available_permits(), 1);
    }
    drop(Body::from("abc").holding(permits.clone().try_acquire_owned().unwrap()));
    assert_eq!(permits.available_permits(), 1);
    // An empty body has ended already.
    let _empty = Body::empty().holding(permits.clone().try_acquire_owned().unwrap());
    assert_eq!(permits.available_permits(), 1);
}

/// A body that has one frame and then nothing for ever.
struct Stalls(bool);

impl HttpBody for Stalls {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match std::mem::take(&mut self.0) {
            true => Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"abc"))))),
            false => Poll::Pending,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn s7_a_body_whose_sender_stalls_breaks_off_and_a_slow_reader_is_waited_for() {
    use http_body_util::BodyExt as _;
    let start = Instant::now();
    let idle = Duration::from_secs(2);
    let body = Body::new(Stalls(true)).within(Timer::until(start), idle, None);
    let mut body = std::pin::pin!(body);
    // The reader takes longer than its sender may.
    tokio::time::advance(idle * 10).await;
    assert!(body.frame().await.unwrap().is_ok());
    tokio::time::advance(idle * 10).await;
    assert!(body.frame().await.unwrap().is_err());
    assert_eq!(start.elapsed().as_secs(), 42);
    assert!(body.frame().await.is_none());
    let whole = Some(Instant::now() + idle);
    let mut late = std::pin::pin!(Body::new(Stalls(true)).within(Timer::until(start), idle * 9, whole));
    tokio::time::advance(idle + Duration::from_secs(1)).await;
    assert!(late.frame().await.unwrap().is_err(), "the time for the whole was over");
}

#[derive(Default)]
struct Seen(usize, Vec<End>);

struct Watcher(std::sync::Arc<std::sync::Mutex<Seen>>, usize);

impl Watch for Watcher {
    fn passed(&mut self, bytes: usize) -> Result<(), BoxError> {
        let mut seen = self.0.lock().unwrap();
        seen.0 += bytes;
        if seen.0 > self.1 { Err("enough".into()) } else { Ok(()) }
    }

    fn ended(&mut self, end: End) {
        self.0.lock().unwrap().1.push(end);
    }
}

#[tokio::test]
async fn who_watches_a_body_sees_its_bytes_and_its_end_once() {
    use http_body_util::BodyExt as _;
    let watched = |body: Body, most| {
        let seen = std::sync::Arc::<std::sync::Mutex<Seen>>::default();
        (seen.clone(), body.watched_by(Watcher(seen.clone(), most)).watched_by(Watcher(seen, usize::MAX)))
    };
    let told = |seen: &std::sync::Mutex<Seen>| {
        let seen = seen.lock().unwrap();
        (seen.0, seen.1.clone())
    };
    let (seen, body) = watched(Body::from("abc"), 99);
    assert_eq!(body.read(10).await.unwrap(), "abc");
    assert_eq!(told(&seen), (6, vec![End::Whole; 2]));
    let (seen, body) = watched(Body::from("abc"), 2);
    assert!(matches!(body.read(10).await, Err(ReadError::Broken(_))));
    assert_eq!(told(&seen), (3, vec![End::Broken; 2]));
    let (seen, mut body) = watched(Body::new(Stalls(true)), 99);
    body.frame().await.unwrap().unwrap();
    drop(body);
    assert_eq!(told(&seen), (6, vec![End::Dropped; 2]));
    let (seen, _) = watched(Body::empty(), 0);
    assert_eq!(told(&seen), (0, vec![End::Whole; 2]));
}

#[tokio::test]
async fn trailers_pass_those_who_watch_and_bound_a_body_and_may_be_changed() {
    use http_body_util::{BodyExt as _, Full};
    struct Removes;
    impl Watch for Removes {
        fn trailers(&mut self, fields: &mut HeaderMap) {
            fields.remove("x-second");
        }

        fn ended(&mut self, end: End) {
            assert_eq!(end, End::Whole);
        }
    }
    let names = ["x-first", "x-second"].map(http::HeaderName::from_static);
    let trailers = names.into_iter().map(|name| (name, http::HeaderValue::from_static("1"))).collect();
    let body = Full::new(Bytes::from_static(b"abc")).with_trailers(async { Some(Ok(trailers)) });
    let far = Instant::now() + Duration::from_secs(60);
    let body = Body::new(body).within(Timer::until(far), Duration::from_secs(60), Some(far));
    let seen = std::sync::Arc::<std::sync::Mutex<Seen>>::default();
    let body = body.watched_by(Watcher(seen, 99)).watched_by(Removes);
    let read = body.collect().await.unwrap();
    let left: Vec<_> = read.trailers().unwrap().keys().map(|name| name.as_str().to_owned()).collect();
    assert_eq!((left, read.to_bytes()), (vec!["x-first".to_owned()], Bytes::from_static(b"abc")));
}

#[tokio::test]
async fn a_foreign_body_is_erased_once_and_keeps_its_bytes() {
    let body = Body::new(http_body_util::Full::new(Bytes::from_static(b"abc")));
    assert_eq!(Body::new(body).read(10).await.unwrap(), "abc");
}
