use std::pin::pin;

use super::*;

/// Of a group with it nothing is made.
const UNFIT: usize = 30;

/// Commits when it is let, and counts what it has done. Its commands are their bytes; those with an odd number stand apart.
struct Gated {
    /// So many groups may be committed.
    open: watch::Receiver<u64>,
    groups: u64,
    done: u64,
    /// Whether it makes something of the next group, which is its commands once more.
    looks_ahead: bool,
    log: mpsc::UnboundedSender<(Vec<usize>, bool)>,
}

impl Group for Gated {
    type Command = usize;
    type Outcome = ();
    type Ready = Vec<usize>;

    async fn commit(
        &mut self,
        commands: &[usize],
        ready: Option<Vec<usize>>,
        mut next: Next<'_, Self>,
    ) -> Result<Vec<Result<()>>> {
        assert!(ready.as_ref().is_none_or(|ready| ready == commands), "{ready:?} of {commands:?}");
        let (groups, looks_ahead) = (self.groups, self.looks_ahead);
        let opened = async { drop(self.open.wait_for(|open| *open > groups).await.unwrap()) };
        let mut opened = pin!(opened);
        tokio::select! {
            biased;
            () = &mut opened => {}
            behind = next.group(), if looks_ahead => {
                let behind = behind.to_vec();
                opened.await;
                if !behind.contains(&UNFIT) {
                    next.set_ready(behind);
                }
            }
        }
        self.groups += 1;
        self.done += commands.len() as u64;
        // Only some tests look at it.
        let _ = self.log.send((commands.to_vec(), ready.is_some()));
        Ok(commands.iter().map(|_| Ok(())).collect())
    }

    async fn finish(self) {}

    fn size(command: &usize) -> usize {
        *command
    }

    fn stands_apart(command: &usize) -> bool {
        command % 2 == 1
    }

    fn changes_the_next(command: &usize) -> bool {
        *command < 100
    }

    fn position(&self) -> u64 {
        self.done
    }
}

fn gated() -> (Arc<Writer<Gated>>, watch::Sender<u64>) {
    let (writer, gate, _) = grouped(1, false);
    (writer, gate)
}

type Log = mpsc::UnboundedReceiver<(Vec<usize>, bool)>;

fn grouped(limit: usize, looks_ahead: bool) -> (Arc<Writer<Gated>>, watch::Sender<u64>, Log) {
    let (gate, open) = watch::channel(0);
    let (log, logged) = mpsc::unbounded_channel();
    let group = Gated { open, groups: 0, done: 0, looks_ahead, log };
    (Arc::new(Writer::start(group, limit)), gate, logged)
}

/// Sends so many commands of this size, and waits until all that can be taken in are.
async fn send(writer: &Arc<Writer<Gated>>, count: usize, bytes: usize) -> Vec<tokio::task::JoinHandle<()>> {
    let calls = (0..count).map(|_| {
        let writer = writer.clone();
        tokio::spawn(async move { writer.execute(vec![bytes]).await.pop().unwrap().unwrap() })
    });
    let calls = calls.collect();
    // On one thread, each has had its turn by then.
    for _ in 0..count + 20 {
        tokio::task::yield_now().await;
    }
    calls
}

#[tokio::test]
async fn what_waits_is_bounded_in_number_and_whoever_comes_later_waits_for_room() {
    let (writer, gate) = gated();
    let calls = send(&writer, QUEUE + 10, 0).await;
    // One is with the group, the queue is full, and the others have not been taken in.
    assert_eq!(writer.requests.capacity(), 0);
    // Who gives up while it waits for room leaves nothing behind.
    calls[QUEUE + 9].abort();
    gate.send_replace(u64::MAX);
    for call in calls.into_iter().take(QUEUE + 9) {
        call.await.unwrap();
    }
    assert_eq!(*writer.position().borrow(), (QUEUE + 9) as u64);
}

#[tokio::test]
async fn what_stands_apart_is_a_group_of_its_own_behind_what_came_with_it() {
    let (writer, gate, mut log) = grouped(10, false);
    let mut calls = Vec::new();
    for command in [2, 4, 5, 6, 7] {
        calls.extend(send(&writer, 1, command).await);
    }
    gate.send_replace(u64::MAX);
    for call in calls {
        call.await.unwrap();
    }
    for group in [vec![2], vec![4, 6], vec![5, 7]] {
        assert_eq!(log.recv().await.unwrap().0, group);
    }
}

#[tokio::test]
async fn what_waits_is_made_ready_when_it_is_half_a_group_and_nothing_joins_or_overtakes_it() {
    let (writer, gate, mut log) = grouped(4, true);
    let mut calls = Vec::new();
    // So many groups are committed, the next one is with the store, and then these are sent.
    for (groups, commands) in [
        (0, &[2][..]),
        // Enough; what comes then waits for another group.
        (0, &[4, 6]),
        (0, &[8]),
        // Too few.
        (2, &[10]),
        // Enough, and one that stands apart.
        (3, &[13, 12, 14]),
        // Behind 12 and 14 comes 13, which changes what they would be made ready by.
        (4, &[16, 18]),
        (6, &[101, 20, 22]),
        // Behind 20 and 22 comes 101, which changes nothing.
        (7, &[24, 26]),
        // Nothing was made of the first two: the third joins them.
        (9, &[UNFIT, 28]),
        (9, &[32]),
    ] {
        gate.send_replace(groups);
        let none = send(&writer, 0, 0).await;
        assert!(none.is_empty(), "it only lets the groups be committed");
        for command in commands {
            calls.extend(send(&writer, 1, *command).await);
        }
    }
    gate.send_replace(u64::MAX);
    for call in calls {
        call.await.unwrap();
    }
    let mut groups = Vec::new();
    while let Ok(group) = log.try_recv() {
        groups.push(group);
    }
    let expected = [
        (&[2][..], false),
        (&[4, 6], true),
        (&[8], false),
        (&[10], false),
        (&[12, 14], true),
        (&[13], false),
        (&[16, 18], false),
        (&[20, 22], true),
        (&[101], false),
        (&[24, 26], true),
        (&[UNFIT, 28, 32], false),
    ];
    assert_eq!(groups, expected.map(|(group, ready)| (group.to_vec(), ready)));
}

#[tokio::test]
async fn what_waits_is_bounded_in_bytes() {
    let (writer, gate) = gated();
    let calls = send(&writer, 10, QUEUE_BYTES / 4).await;
    assert_eq!((writer.room.available_permits(), QUEUE - writer.requests.capacity()), (0, 3));
    gate.send_replace(u64::MAX);
    for call in calls {
        call.await.unwrap();
    }
    // One that is larger than all the room there is has it alone.
    writer.execute(vec![2 * QUEUE_BYTES]).await.pop().unwrap().unwrap();
    assert_eq!((*writer.position().borrow(), writer.room.available_permits()), (11, QUEUE_BYTES));
}

#[tokio::test]
async fn what_was_taken_in_is_done_when_the_store_closes_and_the_rest_is_refused() {
    let (writer, gate) = gated();
    let calls = send(&writer, 5, QUEUE_BYTES / 2).await;
    let closing = tokio::spawn({
        let writer = writer.clone();
        async move { writer.close().await }
    });
    tokio::task::yield_now().await;
    gate.send_replace(u64::MAX);
    let mut done = 0;
    for call in calls {
        done += u64::from(call.await.is_ok());
    }
    closing.await.unwrap();
    assert_eq!((done, *writer.position().borrow()), (2, 2));
}
