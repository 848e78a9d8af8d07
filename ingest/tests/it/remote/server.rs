//! An HTTP server of a folder's files that answers for ranges and counts what it sends.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

/// The server; its threads end with the test's process.
pub(crate) struct Server {
    address: String,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    bytes: AtomicU64,
    questions: AtomicU64,
}

impl Server {
    pub(crate) fn start(folder: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (counts, folder) = (Arc::new(Counts::default()), folder.to_owned());
        let shared = Arc::clone(&counts);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (folder, counts) = (folder.clone(), Arc::clone(&shared));
                // A connection that breaks is the client's to notice.
                thread::spawn(move || drop(answer(&stream, &folder, &counts)));
            }
        });
        Self { address, counts }
    }

    pub(crate) fn url(&self, name: &str) -> String {
        format!("http://{}/{name}", self.address)
    }

    /// Bytes of bodies sent so far.
    pub(crate) fn sent(&self) -> u64 {
        self.counts.bytes.load(Ordering::SeqCst)
    }

    /// Requests so far.
    pub(crate) fn questions(&self) -> u64 {
        self.counts.questions.load(Ordering::SeqCst)
    }
}

/// Answers the requests of a connection.
fn answer(mut stream: &TcpStream, folder: &Path, counts: &Counts) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    loop {
        let Some(request) = lines.next().transpose()? else { return Ok(()) };
        let mut range = None;
        for line in lines.by_ref() {
            let line = line?.to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some((from, to)) = line.strip_prefix("range: bytes=").and_then(|range| range.split_once('-')) {
                range = Some((from.parse::<usize>().unwrap(), to.parse::<usize>().unwrap()));
            }
        }
        counts.questions.fetch_add(1, Ordering::SeqCst);
        let (method, rest) = request.split_once(' ').unwrap();
        let name = rest.split(' ').next().unwrap().trim_start_matches('/');
        let file = fs::read(folder.join(name));
        let (status, about, body) = match (&file, range) {
            _ if name.starts_with("forbidden") => ("403 Forbidden", String::new(), &[][..]),
            (Err(_), _) => ("404 Not Found", String::new(), &[][..]),
            (Ok(file), None) => ("200 OK", String::new(), &file[..]),
            (Ok(file), Some((from, to))) => {
                let about = format!("Content-Range: bytes {from}-{to}/{}\r\n", file.len());
                ("206 Partial Content", about, &file[from..=to])
            }
        };
        let length = body.len();
        write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nAccept-Ranges: bytes\r\n{about}\r\n")?;
        if method != "HEAD" {
            counts.bytes.fetch_add(length as u64, Ordering::SeqCst);
            stream.write_all(body)?;
        }
    }
}
