//! What the log says, and how it is written.

use std::time::Duration;

use unspool_model::{Digest, Events, Options, Output};

use super::{
    Key, Spec, Time,
    codec::{Malformed, Reader, Writer},
    events::{History, Raw},
    key::Sid,
};

/// A record of the log.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Record {
    /// A session begins: anew, as a fork or from a snapshot.
    Begin(Sid, Box<Begin>),
    /// Events were taken in.
    Append { sid: Sid, number: u64, at: Time, events: Raw },
    /// A session was closed, or has expired.
    End(Sid),
}

/// What is known of a session that begins.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Begin {
    pub about: About,
    /// The session of the same name that ends with it.
    pub replaces: Option<Sid>,
    /// What it begins with; `None`: nothing.
    pub body: Option<Body>,
}

/// What a session is, without its state. Also a row of the table of sessions.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct About {
    pub key: Key,
    pub spec: Spec,
    pub number: u64,
    pub position: u64,
    pub created: Time,
    pub used: Time,
}

/// A session's content. Also a row of the table of states, without the history there.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Body {
    /// As [`unspool_model::Model::save`] writes it.
    pub state: Vec<u8>,
    /// Of the last append.
    pub reply: Output,
    /// Raw events with the position of the first, in order and without gaps up to the session's position.
    pub history: History,
}

impl Record {
    pub(super) fn sid(&self) -> Sid {
        match self {
            Self::Begin(sid, _) | Self::Append { sid, .. } | Self::End(sid) => *sid,
        }
    }

    pub(super) fn begin(sid: Sid, (about, replaces): (&About, Option<Sid>), body: Option<&Body>) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.u8(0).u64(sid.0);
        about.write(&mut writer);
        writer.u64(replaces.map_or(u64::MAX, |sid| sid.0));
        writer.u8(u8::from(body.is_some()));
        if let Some(body) = body {
            body.write(&mut writer);
        }
        writer.0
    }

    pub(super) fn append(sid: Sid, (number, at): (u64, Time), events: Events<'_>) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.u8(1).u64(sid.0).u64(number).u64(at.0);
        Raw::write(events, &mut writer);
        writer.0
    }

    pub(super) fn end(sid: Sid) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.u8(2).u64(sid.0);
        writer.0
    }

    pub(super) fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader(bytes);
        let kind = reader.u8("a kind of record")?;
        let sid = Sid(reader.u64("a session's number")?);
        let record = match kind {
            0 => {
                let about = About::read(&mut reader)?;
                let replaces = Some(reader.u64("a session's number")?).filter(|sid| *sid != u64::MAX).map(Sid);
                let body = match reader.u8("whether content follows")? {
                    0 => None,
                    _ => Some(Body::read(&mut reader)?),
                };
                Self::Begin(sid, Box::new(Begin { about, replaces, body }))
            }
            1 => {
                let number = reader.u64("an append's number")?;
                let at = Time(reader.u64("a time")?);
                Self::Append { sid, number, at, events: Raw::read(&mut reader)? }
            }
            2 => Self::End(sid),
            _ => return Err(Malformed("a known kind of record")),
        };
        reader.end()?;
        Ok(record)
    }
}

impl About {
    pub(super) fn write(&self, writer: &mut Writer) {
        let Self { key, spec, number, position, created, used } = self;
        writer.bytes(&key.owner).bytes(key.id.as_bytes());
        writer.bytes(spec.model.to_string().as_bytes());
        let Options { layers, rows, pools, anomaly, bits } = &spec.options;
        writer.u64(layers.len() as u64);
        layers.iter().for_each(|layer| {
            writer.u64(*layer as u64);
        });
        // What is told of each event is one byte: the first of its bits is as old as the format.
        writer.u8(u8::from(*rows)).u8(u8::from(*pools)).u8(u8::from(*anomaly) | u8::from(*bits) << 1);
        writer.u64(spec.ttl.map_or(u64::MAX, |ttl| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)));
        writer.u64(*number).u64(*position).u64(created.0).u64(used.0);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let key = Key { owner: reader.bytes("an owner")?.into(), id: reader.text("a session's id")?.into() };
        let model: Digest = reader.text("a model's digest")?.parse().map_err(|_| Malformed("a model's digest"))?;
        let layers = reader.len("a number of layers")?;
        let layers = (0..layers).map(|_| reader.len("a layer")).collect::<Result<Vec<_>, _>>()?;
        let mut flags = |what| reader.u8(what).map(|byte| (byte & 1 != 0, byte & 2 != 0));
        let (rows, pools, (anomaly, bits)) = (flags("rows")?.0, flags("pools")?.0, flags("scores")?);
        let options = Options { layers, rows, pools, anomaly, bits };
        let ttl = Some(reader.u64("a time to live")?).filter(|ms| *ms != u64::MAX).map(Duration::from_millis);
        Ok(Self {
            key,
            spec: Spec { model, options, ttl },
            number: reader.u64("an append's number")?,
            position: reader.u64("a position")?,
            created: Time(reader.u64("a time")?),
            used: Time(reader.u64("a time")?),
        })
    }
}

impl Body {
    pub(super) fn write(&self, writer: &mut Writer) {
        write_output(&self.reply, writer);
        writer.bytes(&self.state);
        writer.u64(self.history.len() as u64);
        for (position, events) in &self.history {
            writer.u64(*position);
            Raw::write(events.as_model(), writer);
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let reply = read_output(reader)?;
        let state = reader.bytes("a state")?.into();
        let chunks = reader.len("a number of chunks")?;
        let chunk = |_| Ok((reader.u64("a position")?, Raw::read(reader)?));
        let history = (0..chunks).map(chunk).collect::<Result<_, Malformed>>()?;
        Ok(Self { state, reply, history })
    }
}

fn write_output(output: &Output, writer: &mut Writer) {
    writer.u64(output.rows.len() as u64);
    output.rows.iter().for_each(|rows| {
        writer.f32s(rows);
    });
    writer.f64s(&output.scores);
}

fn read_output(reader: &mut Reader<'_>) -> Result<Output, Malformed> {
    let layers = reader.len("a number of layers")?;
    let rows = (0..layers).map(|_| reader.f32s("hidden rows")).collect::<Result<_, _>>()?;
    Ok(Output { rows, scores: reader.f64s("scores")? })
}

/// Bytes that a reply takes.
pub(super) fn output_bytes(output: &Output) -> u64 {
    let rows: usize = output.rows.iter().map(|rows| rows.len() * 4).sum();
    (rows + output.scores.len() * 8) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(options: Options) -> About {
        let key = Key { owner: b"o"[..].into(), id: "a".into() };
        let spec = Spec { model: Digest::of([]), options, ttl: None };
        About { key, spec, number: 1, position: 2, created: Time(3), used: Time(4) }
    }

    #[test]
    fn options_are_read_as_they_are_written() {
        for flags in 0..16u8 {
            let flag = |bit: u8| flags >> bit & 1 != 0;
            let (rows, pools, anomaly, bits) = (flag(0), flag(1), flag(2), flag(3));
            let about = about(Options { layers: vec![3], rows, pools, anomaly, bits });
            let mut writer = Writer::default();
            about.write(&mut writer);
            assert_eq!(About::read(&mut Reader(&writer.0)).unwrap(), about);
        }
    }

    /// Sessions of series that score are written as they were before there were others that tell bits.
    #[test]
    fn what_was_written_before_is_read() {
        let mut writer = Writer::default();
        let scored = about(Options { anomaly: true, ..Options::default() });
        scored.write(&mut writer);
        let at = writer.0.len() - 5 * 8 - 3;
        assert_eq!(writer.0[at..at + 3], [0, 0, 1]);
    }
}
