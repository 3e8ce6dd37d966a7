package main

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"os"
	"strings"

	"github.com/fxamacker/cbor/v2"
	"github.com/veraison/go-cose"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	labelStructure = int64(395)
	labelProofs    = int64(396)
	rfc9162SHA256  = int64(1)
	inclusion      = int64(-1)
)

type inclusionProof struct {
	_     struct{} `cbor:",toarray"`
	Size  int64
	Index int64
	Path  [][]byte
}

// checkReceipt verifies a receipt of inclusion: go-cose the signature over the root, which is recomputed from the entry by the proof.
func checkReceipt(args []string) (any, error) {
	if err := need(args, 3); err != nil {
		return nil, err
	}
	data, err := os.ReadFile(args[0])
	if err != nil {
		return nil, err
	}
	entry, err := os.ReadFile(args[2])
	if err != nil {
		return nil, err
	}
	var message cose.Sign1Message
	if err := message.UnmarshalCBOR(data); err != nil {
		return nil, err
	}
	if message.Payload != nil || message.Headers.Protected[labelStructure] != rfc9162SHA256 {
		return nil, errors.New("not a receipt with a detached payload over RFC9162_SHA256")
	}
	proof, err := readInclusion(message.Headers.Unprotected)
	if err != nil {
		return nil, err
	}
	root, err := rootOf(tlog.RecordHash(entry), proof)
	if err != nil {
		return nil, err
	}
	parts := strings.SplitN(args[1], "+", 3)
	key, err := base64.StdEncoding.DecodeString(parts[len(parts)-1])
	if err != nil || len(key) != 33 {
		return nil, errors.New("malformed vkey")
	}
	verifier, err := cose.NewVerifier(cose.AlgorithmEdDSA, ed25519.PublicKey(key[1:]))
	if err != nil {
		return nil, err
	}
	message.Payload = root[:]
	if err := message.Verify(nil, verifier); err != nil {
		return nil, err
	}
	return map[string]any{"size": proof.Size, "index": proof.Index}, nil
}

func readInclusion(header cose.UnprotectedHeader) (inclusionProof, error) {
	var proof inclusionProof
	proofs, ok := header[labelProofs].(map[any]any)
	if !ok {
		return proof, errors.New("no proofs")
	}
	list, ok := proofs[inclusion].([]any)
	if !ok || len(list) != 1 {
		return proof, errors.New("not one inclusion proof")
	}
	encoded, ok := list[0].([]byte)
	if !ok {
		return proof, errors.New("an inclusion proof is a byte string")
	}
	return proof, cbor.Unmarshal(encoded, &proof)
}

// rootOf folds a proof as RFC 9162 section 2.1.3.2 says: x/mod checks proofs against a root, and has no function that tells it.
func rootOf(leaf tlog.Hash, proof inclusionProof) (tlog.Hash, error) {
	node, last, root := proof.Index, proof.Size-1, leaf
	if node > last || node < 0 {
		return root, errors.New("index beyond the tree")
	}
	for _, step := range proof.Path {
		sibling := tlog.Hash{}
		if last == 0 || copy(sibling[:], step) != len(step) || len(step) != tlog.HashSize {
			return root, errors.New("malformed path")
		}
		if node&1 == 1 || node == last {
			root = tlog.NodeHash(sibling, root)
			for node&1 == 0 && node != 0 {
				node, last = node>>1, last>>1
			}
		} else {
			root = tlog.NodeHash(root, sibling)
		}
		node, last = node>>1, last>>1
	}
	if last != 0 {
		return root, errors.New("path too short")
	}
	return root, nil
}
