//! A slow and long line between two ends of TCP: what goes in comes out later, and no faster than the
//! line takes it. It stands in for `tc netem`, which needs rights that a test seldom has.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The most bytes that travel as one.
const PACKET: usize = 512;

/// A line to one address. It carries connections until the process ends.
#[derive(Debug)]
pub struct Link {
    /// Where its near end listens.
    pub address: SocketAddr,
    /// When something last came out at its far end.
    arrived: Arc<Mutex<Option<Instant>>>,
}

impl Link {
    /// A line to `far` that takes `delay` one way and so many bytes a second each way.
    ///
    /// # Panics
    ///
    /// Without a free port.
    #[must_use]
    pub fn to(far: SocketAddr, delay: Duration, bytes_per_second: u32) -> Self {
        let near = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = near.local_addr().expect("a listener has an address");
        let arrived = Arc::new(Mutex::new(None));
        let note = Arc::clone(&arrived);
        thread::spawn(move || {
            for stream in near.incoming().flatten() {
                let Ok(other) = TcpStream::connect(far) else {
                    continue;
                };
                let ends = [&stream, &other].map(TcpStream::try_clone);
                let [Ok(stream_too), Ok(other_too)] = ends else {
                    continue;
                };
                for end in [&stream, &other] {
                    let _ = end.set_nodelay(true);
                }
                carry(
                    stream,
                    other,
                    delay,
                    bytes_per_second,
                    Some(Arc::clone(&note)),
                );
                carry(other_too, stream_too, delay, bytes_per_second, None);
            }
        });
        Self { address, arrived }
    }

    /// When something last came out at its far end.
    #[must_use]
    pub fn arrived(&self) -> Option<Instant> {
        *self.arrived.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Carries one direction of one connection.
fn carry(
    mut from: TcpStream,
    mut to: TcpStream,
    delay: Duration,
    bytes_per_second: u32,
    arrived: Option<Arc<Mutex<Option<Instant>>>>,
) {
    let (sender, under_way) = mpsc::channel::<(Instant, Vec<u8>)>();
    thread::spawn(move || {
        let mut packet = [0; PACKET];
        while let Ok(count @ 1..) = from.read(&mut packet) {
            let bytes = packet.get(..count).unwrap_or_default().to_vec();
            if sender.send((Instant::now(), bytes)).is_err() {
                return;
            }
        }
    });
    thread::spawn(move || {
        // When the line has taken all that went in before.
        let mut free_at = Instant::now();
        for (sent, bytes) in under_way {
            let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            let takes = Duration::from_secs(1) * length / bytes_per_second;
            free_at = free_at.max(sent) + takes;
            // The line itself: this is what it is for, and no waiting for an event.
            thread::sleep((free_at + delay).saturating_duration_since(Instant::now()));
            if to.write_all(&bytes).is_err() {
                return;
            }
            if let Some(arrived) = &arrived {
                *arrived.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    });
}
