// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.31;

// Names used in assembly alone, which solhint does not see.
// solhint-disable no-unused-import

import {COORDINATES, LANES, MODULUS, STATE, TAU, load} from "./Memory.sol";

/// @title The Fiat–Shamir transcript: one Keccak-256 state (circuits/transcript.py)
/// @notice absorb: state ← keccak256(state ‖ 0x00 ‖ u32 length ‖ bytes). draw: state ← keccak256(state ‖ 0x01), read
///         modulo r.
library Transcript {
    /// @notice Absorbs `length` bytes of the calldata.
    function absorb(uint256 place, uint256 length) internal pure {
        assembly ("memory-safe") {
            let buffer := mload(0x40)
            mstore(buffer, mload(STATE))
            mstore(add(buffer, 0x20), shl(216, length))
            calldatacopy(add(buffer, 37), place, length)
            mstore(STATE, keccak256(buffer, add(length, 37)))
        }
    }

    /// @notice Absorbs the calldata from the position in one word to that in another.
    function absorbField(uint256 first, uint256 next) internal pure {
        unchecked {
            absorb(load(first), load(next) - load(first));
        }
    }

    /// @notice Absorbs the `length` leading bytes of one word.
    function absorbWord(bytes32 word, uint256 length) internal pure {
        assembly ("memory-safe") {
            let buffer := mload(0x40)
            mstore(buffer, mload(STATE))
            mstore(add(buffer, 0x20), shl(216, length))
            mstore(add(buffer, 37), word)
            mstore(STATE, keccak256(buffer, add(length, 37)))
        }
    }

    /// @notice Draws `count` challenges into the words from `to` on.
    function draw(uint256 to, uint256 count) internal pure {
        assembly ("memory-safe") {
            let r := mload(MODULUS)
            mstore(0x00, mload(STATE))
            mstore8(0x20, 1)
            for { let last := add(to, shl(5, count)) } lt(to, last) { to := add(to, 0x20) } {
                let state := keccak256(0x00, 33)
                mstore(0x00, state)
                mstore(to, mod(state, r))
            }
            mstore(STATE, mload(0x00))
        }
    }

    // ---- rounds of a sumcheck ---------------------------------------------------------------------------------

    // Each round is hashed in the region of LANES: state (32 bytes), 0x00 and length (5), the message, which is read
    // from there. Position 0x00 keeps the challenge: as a variable it would be computed anew wherever it is used.

    /// @notice Rounds of the zero-check: messages c1 … cd of g, where the round polynomial is eq(τ_j, X)·g(X) and
    ///         c0 = claim − τ_j·Σc. The challenges are the first coordinates; returns what g is there in the end.
    /// @param place Calldata position of the messages, `degree` words a round: 5 or 6.
    function zeroCheck(uint256 place, uint256 rounds, uint256 degree) internal pure returns (uint256 claim) {
        assembly ("memory-safe") {
            let r := mload(MODULUS)
            let size := shl(5, degree)
            // Word 6 of a message of five is zero.
            mstore(add(LANES, 0xc5), 0)
            mstore(LANES, mload(STATE))
            let tau := TAU
            let sigma := COORDINATES
            for { let end := add(sigma, shl(5, rounds)) } lt(sigma, end) { sigma := add(sigma, 0x20) } {
                mstore(add(LANES, 0x20), shl(216, size))
                calldatacopy(add(LANES, 0x25), place, size)
                mstore(LANES, keccak256(LANES, add(size, 0x25)))
                mstore8(add(LANES, 0x20), 1)
                mstore(LANES, keccak256(LANES, 0x21))
                mstore(0x00, mod(mload(LANES), r))
                mstore(sigma, mload(0x00))
                // Read from the calldata, because six words that are used twice would not fit on the stack.
                let sum := addmod(add(calldataload(place), calldataload(add(place, 0x20))), mload(add(LANES, 0xc5)), r)
                sum := addmod(add(sum, calldataload(add(place, 0x40))), calldataload(add(place, 0x60)), r)
                sum := mulmod(mload(tau), add(sum, calldataload(add(place, 0x80))), r)
                claim := addmod(claim, sub(r, sum), r)
                let value := add(mulmod(mload(add(LANES, 0xc5)), mload(0x00), r), mload(add(LANES, 0xa5)))
                value := add(mulmod(value, mload(0x00), r), mload(add(LANES, 0x85)))
                value := add(mulmod(value, mload(0x00), r), mload(add(LANES, 0x65)))
                value := add(mulmod(value, mload(0x00), r), mload(add(LANES, 0x45)))
                value := add(mulmod(value, mload(0x00), r), mload(add(LANES, 0x25)))
                claim := addmod(mulmod(value, mload(0x00), r), claim, r)
                tau := add(tau, 0x20)
                place := add(place, size)
            }
            mstore(STATE, mload(LANES))
        }
    }

    /// @notice The rounds [first, rounds) of the zero-check, with messages c1, c2. A function of its own, because most
    ///         of a short message's cost would be words that it does not have.
    function zeroCheckTail(uint256 place, uint256 first, uint256 rounds, uint256 claim)
        internal
        pure
        returns (uint256 end)
    {
        assembly ("memory-safe") {
            let r := mload(MODULUS)
            mstore(LANES, mload(STATE))
            end := claim
            for { let j := shl(5, first) } lt(j, shl(5, rounds)) { j := add(j, 0x20) } {
                mstore(add(LANES, 0x20), shl(216, 0x40))
                calldatacopy(add(LANES, 0x25), place, 0x40)
                mstore(LANES, keccak256(LANES, 0x65))
                mstore8(add(LANES, 0x20), 1)
                mstore(LANES, keccak256(LANES, 0x21))
                let challenge := mod(mload(LANES), r)
                mstore(add(COORDINATES, j), challenge)
                let c1 := calldataload(place)
                let c2 := calldataload(add(place, 0x20))
                // claim − τ_j·(c1 + c2) + challenge·(c1 + challenge·c2)
                let start := addmod(end, sub(r, mulmod(mload(add(TAU, j)), add(c1, c2), r)), r)
                end := addmod(start, mulmod(challenge, add(c1, mulmod(challenge, c2, r)), r), r)
                place := add(place, 0x40)
            }
            mstore(STATE, mload(LANES))
        }
    }

    /// @notice Rounds of a sumcheck of degree 2 or 3: messages c0, c2 (and c3); c1 makes the polynomial sum to the
    ///         claim over 0 and 1.
    function sumCheck(uint256 place, uint256 rounds, uint256 degree, uint256 claim, uint256 point)
        internal
        pure
        returns (uint256 end)
    {
        assembly ("memory-safe") {
            let r := mload(MODULUS)
            let size := shl(5, degree)
            // c3 of a message of two words is zero.
            mstore(add(LANES, 0x65), 0)
            mstore(LANES, mload(STATE))
            end := claim
            for { let last := add(point, shl(5, rounds)) } lt(point, last) { point := add(point, 0x20) } {
                mstore(add(LANES, 0x20), shl(216, size))
                calldatacopy(add(LANES, 0x25), place, size)
                mstore(LANES, keccak256(LANES, add(size, 0x25)))
                mstore8(add(LANES, 0x20), 1)
                mstore(LANES, keccak256(LANES, 0x21))
                mstore(0x00, mod(mload(LANES), r))
                mstore(point, mload(0x00))
                // c1 = claim − 2·c0 − c2 − c3
                let known := addmod(add(mload(add(LANES, 0x45)), mload(add(LANES, 0x65))), mload(add(LANES, 0x25)), r)
                let c1 := addmod(end, sub(shl(1, r), add(known, mload(add(LANES, 0x25)))), r)
                let value := add(mulmod(mload(add(LANES, 0x65)), mload(0x00), r), mload(add(LANES, 0x45)))
                value := add(mulmod(value, mload(0x00), r), c1)
                end := addmod(mulmod(value, mload(0x00), r), mload(add(LANES, 0x25)), r)
                place := add(place, size)
            }
            mstore(STATE, mload(LANES))
        }
    }
}
