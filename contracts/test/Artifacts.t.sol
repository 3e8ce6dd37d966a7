// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {vm} from "./Vm.sol";

/// @title The other tests deploy what ships; here it is held to be what the sources give
contract ArtifactsTest {
    uint256 internal constant EIP170_MAX_BYTES = 24_576;

    /// @dev Not the ProofVerifier: what solc makes of it by way of Yul depends on what is compiled beside it (names of
    ///      Yul functions hold AST ids, and the inliner goes by names), and forge compiles the tests, too.
    ///      `scripts/contracts --check` holds it to what its own build gives.
    function test_ShippedBytecodeIsWhatTheSourcesCompileTo() public view {
        requireFresh("ModelRegistry");
        requireFresh("OperatorRegistry");
        requireFresh("QuorumVerifier");
        requireFresh("VerifierRouter");
        requireFresh("Coprocessor");
        requireFresh("FraudProofs");
        requireFresh("Disputes");
        requireFresh("AuditAnchor");
        requireFresh("FeeQuotes");
        requireFresh("BlsKeys");
        requireFresh("BlsQuorumVerifier");
        requireFresh("DigitGate");
        requireFresh("AgentAccount");
    }

    function test_DeployedCodeFitsEip170() public view {
        string[18] memory names = [
            "ModelRegistry",
            "OperatorRegistry",
            "QuorumVerifier",
            "ProofVerifier",
            "VerifierRouter",
            "Coprocessor",
            "FraudProofs",
            "Disputes",
            "FeeQuotes",
            "AuditAnchor",
            "BlsKeys",
            "BlsQuorumVerifier",
            "EnclaveRegistry",
            "EnclaveVerifier",
            "DcapCertificates",
            "DcapCollateral",
            "DcapVerifier",
            "TimelockController"
        ];
        for (uint256 i; i < names.length; ++i) {
            bytes memory code = vm.parseJsonBytes(artifactOf(names[i]), ".deployedBytecode");
            vm.assertTrue(code.length != 0, names[i]);
            vm.assertLe(code.length, EIP170_MAX_BYTES, names[i]);
        }
    }

    function requireFresh(string memory name) private view {
        bytes memory compiled = vm.getCode(string.concat(name, ".sol:", name));
        bytes memory shipped = vm.parseJsonBytes(artifactOf(name), ".bytecode");
        vm.assertEq(keccak256(shipped), keccak256(compiled), string.concat(name, " is stale: run scripts/contracts"));
    }

    function artifactOf(string memory name) private view returns (string memory) {
        return vm.readFile(string.concat("oracle/artifacts/", name, ".json"));
    }
}
