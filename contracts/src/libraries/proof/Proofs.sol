// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.31;

// Names used in assembly alone, which solhint does not see.
// solhint-disable no-unused-import

import {
    AT_LINEAR_ROUNDS,
    AT_LOOKUP_TOTALS,
    AT_MAPPED,
    AT_MAP_ROUNDS,
    AT_OPERANDS,
    AT_PARTS,
    AT_POINTS,
    AT_QUOTIENT,
    AT_REST,
    AT_ROW_ROUNDS,
    AT_TABLE,
    AT_TABLE_VALUES,
    AT_TOTALS,
    AT_WEIGHTS,
    COLUMNS,
    DEGREE,
    HELPER_POINTS,
    LINEAR_DEGREE,
    LINEAR_ROUNDS,
    LOOKUPS,
    MAPPED_SENT,
    MAP_ROUNDS,
    MODULUS,
    OPERANDS_SENT,
    ROUNDS,
    ROW_BITS,
    TABLE_POINTS,
    TRACE_POINTS,
    WEIGHTS_SENT,
    load,
    store
} from "./Memory.sol";

/// @title A proof: "AFP2", then as many points and scalars as the layout fixes (circuits/proof_bytes.py)
/// @notice No length is stored, and every scalar is reduced, so a proof has one encoding.
library Proofs {
    error ProofLength(uint256 expectedBytes, uint256 gotBytes);
    error ProofVersion(bytes4 version);
    /// @notice A scalar of the proof is not below r.
    error ScalarNotReduced();

    uint256 internal constant POINT_BYTES = 96;
    uint256 private constant MAGIC_BYTES = 4;
    bytes4 private constant MAGIC = "AFP2";

    /// @notice Finds the fields, and checks length, version and scalars.
    function open(bytes calldata proof) internal pure {
        unchecked {
            uint256 start;
            assembly ("memory-safe") {
                start := proof.offset
            }
            uint256 expectedBytes = _locate(start + MAGIC_BYTES) - start;
            if (proof.length != expectedBytes) revert ProofLength(expectedBytes, proof.length);
            if (bytes4(proof) != MAGIC) revert ProofVersion(bytes4(proof));
            if (!_areReduced()) revert ScalarNotReduced();
        }
    }

    /// @dev Whether all scalars are below r: one by one until a multiple of four is left.
    function _areReduced() private pure returns (bool result) {
        assembly ("memory-safe") {
            let r := mload(MODULUS)
            let last := mload(AT_PARTS)
            let place := mload(AT_ROW_ROUNDS)
            result := 1
            for {} and(sub(last, place), 0x7f) { place := add(place, 0x20) } {
                result := and(result, lt(calldataload(place), r))
            }
            for {} lt(place, last) { place := add(place, 0x80) } {
                let low := and(lt(calldataload(place), r), lt(calldataload(add(place, 0x20)), r))
                let high := and(lt(calldataload(add(place, 0x40)), r), lt(calldataload(add(place, 0x60)), r))
                result := and(result, and(low, high))
            }
        }
    }

    /// @dev All scalars lie together, after the points of the commitments and before those of the opening.
    function _locate(uint256 place) private pure returns (uint256 end) {
        unchecked {
            bool hasLookups = load(LOOKUPS) != 0;
            store(AT_POINTS, place);
            place += POINT_BYTES * (load(TRACE_POINTS) + load(HELPER_POINTS) + 2 * load(TABLE_POINTS));
            store(AT_ROW_ROUNDS, place);
            // Rounds in which the rescale rows are constant are of degree 2.
            place += 32 * (load(ROW_BITS) * load(DEGREE) + 2 * (load(ROUNDS) - load(ROW_BITS)));
            store(AT_TOTALS, place);
            place += 32 * load(COLUMNS) + 64;
            store(AT_LOOKUP_TOTALS, place);
            place += hasLookups ? 96 : 0;
            store(AT_TABLE, place);
            store(AT_TABLE_VALUES, place + 64);
            place += hasLookups ? 96 : 64;
            store(AT_REST, place);
            store(AT_LINEAR_ROUNDS, place + 32);
            place += 32 + 32 * load(LINEAR_ROUNDS) * load(LINEAR_DEGREE);
            store(AT_WEIGHTS, place);
            place += 32 * load(WEIGHTS_SENT);
            store(AT_OPERANDS, place);
            place += 32 * load(OPERANDS_SENT);
            store(AT_MAP_ROUNDS, place);
            place += 64 * load(MAP_ROUNDS);
            store(AT_MAPPED, place);
            place += 32 * load(MAPPED_SENT);
            store(AT_PARTS, place);
            place += 2 * POINT_BYTES;
            store(AT_QUOTIENT, place);
            return place + POINT_BYTES;
        }
    }
}
