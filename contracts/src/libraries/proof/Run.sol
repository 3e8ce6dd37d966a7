// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.31;

import {Layout} from "./Layout.sol";
import {Network, VALUE_BITS} from "./Network.sol";
import {Transcript} from "./Transcript.sol";

/// @notice Where the fields of a proof begin in the calldata, in their order.
struct Fields {
    uint256 points;
    uint256 rowRounds;
    uint256 totals;
    uint256 lookupTotals;
    uint256 table;
    uint256 tableValues;
    uint256 rest;
    uint256 linearRounds;
    uint256 weights;
    uint256 operands;
    uint256 mapRounds;
    uint256 mapped;
    uint256 parts;
    uint256 quotient;
    uint256 end;
}

/// @notice Everything that was drawn but the points σ, ρ, θ.
struct Challenges {
    uint256 alpha;
    uint256 beta;
    uint256 rho;
    uint256 kappa;
    uint256[] tau;
    uint256 lambda;
    uint256 mu;
    uint256 zeta;
}

/// @notice One verification under way.
struct Run {
    Network network;
    Layout plan;
    Fields fields;
    Challenges challenges;
    /// @dev State of the transcript.
    uint256 state;
    /// @dev Table of coordinates (Points.sol).
    uint256 coordinates;
    /// @dev Calldata positions of the public tensors.
    uint256 input;
    uint256 output;
}

/// @title Fields of a proof: "AFP2", then as many points and scalars as the layout fixes (circuits/proof_bytes.py)
library Proofs {
    uint256 internal constant POINT_BYTES = 96;
    uint256 internal constant MAGIC_BYTES = 4;
    bytes4 internal constant MAGIC = "AFP2";

    function locate(Layout memory plan, uint256 start) internal pure returns (Fields memory fields) {
        unchecked {
            bool hasLookups = plan.looks != 0;
            fields.points = start + MAGIC_BYTES;
            uint256 points = plan.tracePoints + plan.helperPoints + 2 * plan.tablePoints;
            fields.rowRounds = fields.points + POINT_BYTES * points;
            fields.totals = fields.rowRounds + 32 * plan.rounds * plan.degree;
            fields.lookupTotals = fields.totals + 32 * (plan.columns + 2);
            fields.table = fields.lookupTotals + (hasLookups ? 96 : 0);
            fields.tableValues = fields.table + 64;
            fields.rest = fields.tableValues + (hasLookups ? 32 : 0);
            fields.linearRounds = fields.rest + 32;
            fields.weights = fields.linearRounds + 32 * plan.linearRounds * plan.linearDegree;
            fields.operands = fields.weights + 32 * plan.weights;
            fields.mapRounds = fields.operands + 32 * plan.operands;
            fields.mapped = fields.mapRounds + 64 * plan.mapRounds;
            fields.parts = fields.mapped + 32 * plan.mapped;
            fields.quotient = fields.parts + 2 * POINT_BYTES;
            fields.end = fields.quotient + POINT_BYTES;
        }
    }

    /// @notice The word at a position of the calldata.
    function load(uint256 place) internal pure returns (uint256 word) {
        assembly ("memory-safe") {
            word := calldataload(place)
        }
    }

    function draw(Run memory run) internal pure returns (uint256 challenge) {
        (run.state, challenge) = Transcript.draw(run.state);
    }

    /// @notice Absorbs the calldata from `first` to `last`.
    function absorb(Run memory run, uint256 first, uint256 last) internal pure {
        unchecked {
            run.state = Transcript.absorb(run.state, first, last - first);
        }
    }

    /// @notice Variables of a block's high part, that name its place in its space, begin at the block's own bits.
    function tagBits(Layout memory plan) internal pure returns (uint256) {
        unchecked {
            return plan.tableBits - VALUE_BITS;
        }
    }
}
