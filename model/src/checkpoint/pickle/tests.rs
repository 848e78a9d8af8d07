use super::*;

#[test]
fn anything_but_a_dictionary_of_tensors_is_refused() {
    let check = |pickle: &[u8], expected: &str| {
        assert_eq!(state_dict(pickle).err().as_deref(), Some(expected), "{}", pickle.escape_ascii());
    };
    check(b"", "pickle: truncated");
    check(b"\x80\x02", "pickle: truncated");
    check(b"\x80\x02N.", "expected a dictionary of tensors");
    check(b".", "pickle: unexpected empty stack");
    check(b"\xff.", "pickle: unknown op-code 255");
    check(b"h\x05.", "pickle: missing object in memo 5");
    check(b"t.", "pickle: marker object not found");
    check(b"}K\x01K\x01s.", "a name in the dictionary is not a text");
    check(b"}X\x01\0\0\0aK\x01s.", "'a' is not a tensor; expected a dictionary of tensors");
    // What would run a command if it were executed.
    let command = b"}X\x01\0\0\0acposix\nsystem\nX\x04\0\0\0true\x85Rs.";
    check(command, "'a' is not a tensor; expected a dictionary of tensors");
    check(b"X\xff\xff\xff\xffabc.", "pickle: truncated");
    check(b"X\x04\0\0\0abc", "pickle: truncated");
    check(b"\x8a\x09\0\0\0\0\0\0\0\0\0.", "pickle: a whole number of more than 8 bytes");
    for args in [&b")"[..], b"N\x85", b"K\x01K\x01K\x01\x87"] {
        let pickle = [b"}X\x01\0\0\0actorch._utils\n_rebuild_tensor_v2\n", args, b"Rs."].concat();
        check(&pickle, "'a' is not a tensor; expected a dictionary of tensors");
    }
}

#[test]
fn an_empty_dictionary_has_no_tensors() {
    assert_eq!(state_dict(b"\x80\x02}.").unwrap().len(), 0);
    assert_eq!(state_dict(b"\x80\x02ccollections\nOrderedDict\n)R.").unwrap().len(), 0);
}

#[test]
fn deep_nesting_is_refused() {
    let expected = format!("pickle: values nested more than {MAX_DEPTH} deep; not a dictionary of tensors");
    let deep = |operation: &[u8]| [&b"N"[..], &operation.repeat(1_000_000), b"."].concat();
    // A tuple of one; a list within a list; a reduced call; a persistent id; a tuple of three.
    for operation in [&b"\x85"[..], b"q\x01]h\x01a", b")R", b"Q", b"NN\x87"] {
        assert_eq!(state_dict(&deep(operation)).err().unwrap(), expected, "{}", operation.escape_ascii());
    }
}

#[test]
fn copies_that_multiply_are_refused() {
    let expected = format!("pickle: refers to more than {MAX_COPIES} values; not a dictionary of tensors");
    // x = (x, x), sixty times.
    let doubling = [&b"]q\x01"[..], &b"h\x01h\x01\x86q\x01".repeat(60), b"."].concat();
    assert_eq!(state_dict(&doubling).err().unwrap(), expected);
    // A value of a thousand others, fetched again and again.
    let fetching = [&b"("[..], &b"N".repeat(1000), b"tq\x01", &b"h\x01".repeat(100_000), b"."].concat();
    assert_eq!(state_dict(&fetching).err().unwrap(), expected);
}
