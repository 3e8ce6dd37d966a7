// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ProofVerifier} from "../src/verifiers/ProofVerifier.sol";
import {ProofFixture, Vector} from "./ProofFixture.sol";
import {vm} from "./Vm.sol";

/// @title What a proof costs; kept in contracts/snapshots
/// @notice Each call is a transaction of its own (`isolate`): everything is cold. The 21,000 and the calldata are
///         not in these numbers. forge-config: default.isolate = true
contract ProofGasTest is ProofFixture {
    function test_Mlp51k() public {
        snapshot("mlp-784-64-10", "784-64-10, public input");
    }

    function test_Mlp235k() public {
        snapshot("mlp-784-256-128-10", "784-256-128-10, public input");
    }

    function test_Mlp1M() public {
        snapshot("mlp-784-1024-256-10", "784-1024-256-10, public input");
    }

    function test_Zoo() public {
        snapshot("zoo", "every operator and index map");
    }

    function snapshot(string memory vector, string memory name) private {
        Vector memory v = loadVector(vector);
        register(v.circuit, v.parts, v.manifest);
        (address deployed,) = deploy("ProofVerifier.sol:ProofVerifier", v.chunkBits, v.tau);
        ProofVerifier verifier = ProofVerifier(deployed);
        verifier.verifyProof(v.modelId, v.context, v.input, v.output, v.proof);
        vm.snapshotGasLastCall("ProofVerifier", string.concat(name, ", not prepared"));
        verifier.prepare(v.modelId);
        vm.snapshotGasLastCall("ProofVerifier", string.concat(name, ": prepare"));
        verifier.verifyProof(v.modelId, v.context, v.input, v.output, v.proof);
        vm.snapshotGasLastCall("ProofVerifier", name);
    }
}
