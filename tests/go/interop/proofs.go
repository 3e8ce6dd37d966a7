package main

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// checkProof reads a .tlog-proof by its specification (c2sp.org/tlog-proof) and checks it with tlog.CheckRecord.
func checkProof(args []string) (any, error) {
	if err := need(args, 2); err != nil {
		return nil, err
	}
	data, err := os.ReadFile(args[0])
	if err != nil {
		return nil, err
	}
	head, checkpointText, found := strings.Cut(string(data), "\n\n")
	lines := strings.Split(head, "\n")
	if !found || len(lines) < 3 || lines[0] != "c2sp.org/tlog-proof@v1" {
		return nil, errors.New("not a tlog-proof with extra data")
	}
	record, index, proof, err := parseProof(lines[1:])
	if err != nil {
		return nil, err
	}
	checkpoint, err := openCheckpoint([]byte(checkpointText), args[1])
	if err != nil {
		return nil, err
	}
	if err := tlog.CheckRecord(proof, checkpoint.N, checkpoint.Hash, index, tlog.RecordHash(record)); err != nil {
		return nil, err
	}
	times, err := cosignatures([]byte(checkpointText), args[2:])
	if err != nil {
		return nil, err
	}
	return map[string]any{"index": index, "size": checkpoint.N, "record": string(record), "times": times}, nil
}

func parseProof(lines []string) (record []byte, index int64, proof tlog.RecordProof, err error) {
	extra, found := strings.CutPrefix(lines[0], "extra ")
	if !found {
		return nil, 0, nil, errors.New("no extra data")
	}
	if record, err = base64.StdEncoding.DecodeString(extra); err != nil {
		return nil, 0, nil, err
	}
	number, found := strings.CutPrefix(lines[1], "index ")
	if !found {
		return nil, 0, nil, errors.New("no index")
	}
	if index, err = strconv.ParseInt(number, 10, 64); err != nil {
		return nil, 0, nil, err
	}
	for _, line := range lines[2:] {
		hash, err := tlog.ParseHash(line)
		if err != nil {
			return nil, 0, nil, err
		}
		proof = append(proof, hash)
	}
	return record, index, proof, nil
}

func checkCosigned(args []string) (any, error) {
	if err := need(args, 3); err != nil {
		return nil, err
	}
	data, err := os.ReadFile(args[0])
	if err != nil {
		return nil, err
	}
	checkpoint, err := openCheckpoint(data, args[1])
	if err != nil {
		return nil, err
	}
	times, err := cosignatures(data, args[2:])
	if err != nil {
		return nil, err
	}
	return map[string]any{"origin": checkpoint.Origin, "size": checkpoint.N, "times": times}, nil
}

// cosignatures verifies one cosignature of each witness with torchwood's verifier; the result has their times.
func cosignatures(data []byte, vkeys []string) (map[string]int64, error) {
	times := map[string]int64{}
	for _, vkey := range vkeys {
		verifier, err := cosigner(vkey)
		if err != nil {
			return nil, err
		}
		opened, err := note.Open(data, note.VerifierList(verifier))
		if err != nil {
			return nil, fmt.Errorf("%s: %v", vkey, err)
		}
		if times[verifier.Name()], err = torchwood.CosignatureTimestamp(opened.Sigs[0]); err != nil {
			return nil, err
		}
	}
	return times, nil
}

// publicKey stands where torchwood wants a signer, and signs nothing: its verifier needs the public half alone.
type publicKey struct{ ed25519.PrivateKey }

// cosigner is torchwood's verifier for a witness's vkey of signature type 0x04, whose key id it computes anew, or one of type 0x06.
func cosigner(vkey string) (note.Verifier, error) {
	parts := strings.SplitN(vkey, "+", 3)
	if len(parts) != 3 {
		return nil, fmt.Errorf("malformed vkey %q", vkey)
	}
	key, err := base64.StdEncoding.DecodeString(parts[2])
	if err == nil && len(key) > 0 && key[0] == algMLDSA44 {
		return newQuantumSafe(parts[0], key[1:])
	}
	if err != nil || len(key) != 33 || key[0] != 4 {
		return nil, fmt.Errorf("vkey %q is no witness's", vkey)
	}
	private := make(ed25519.PrivateKey, ed25519.PrivateKeySize)
	copy(private[32:], key[1:])
	signer, err := torchwood.NewCosignatureSigner(parts[0], publicKey{private})
	if err != nil {
		return nil, err
	}
	if signer.Verifier().String() != vkey {
		return nil, fmt.Errorf("vkey is %s, not %s", signer.Verifier(), vkey)
	}
	return signer.Verifier(), nil
}
