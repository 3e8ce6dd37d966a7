// Command interop reads a log of ours with programs that others wrote: golang.org/x/mod/sumdb/{note,tlog}, filippo.io/torchwood and
// github.com/veraison/go-cose. It prints one JSON object on standard output; what does not hold ends it with status 1 and one line.
//
//	interop tiles DIR VKEY                  every tile and entry of a log's directory, authenticated against its checkpoint
//	interop proof FILE VKEY [WITNESS]...    a .tlog-proof with the record as extra data, and the cosignatures on its checkpoint
//	interop consistency OLD DIR VKEY        a kept checkpoint against the log in DIR, by a proof made from its tiles
//	interop cosigned FILE VKEY WITNESS...   a checkpoint, and the cosignatures that these witnesses must have made
//	interop receipt FILE VKEY ENTRY         a COSE receipt of inclusion (RFC 9942) for the bytes in the file ENTRY
//	interop agent SOCKET SEED               an ssh-agent with one Ed25519 key, for litewitness; prints "SHA256:…" and serves
package main

import (
	"encoding/json"
	"fmt"
	"os"
)

type command func(args []string) (any, error)

var commands = map[string]command{
	"tiles":       checkTiles,
	"proof":       checkProof,
	"consistency": checkConsistency,
	"cosigned":    checkCosigned,
	"receipt":     checkReceipt,
	"agent":       serveAgent,
}

func main() {
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "interop: no such command")
		os.Exit(2)
	}
	result, err := commands[os.Args[1]](os.Args[2:])
	if err != nil {
		fmt.Fprintf(os.Stderr, "interop %s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		os.Exit(1)
	}
}

func need(args []string, least int) error {
	if len(args) < least {
		return fmt.Errorf("at least %d arguments are needed", least)
	}
	return nil
}
