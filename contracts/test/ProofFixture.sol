// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ModelRegistry} from "../src/ModelRegistry.sol";
import {IModelRegistry} from "../src/interfaces/IModelRegistry.sol";
import {Challenges, Run} from "../src/libraries/proof/Run.sol";
import {RHO, SIGMA, THETA} from "../src/libraries/proof/Points.sol";
import {ProofVerifier} from "../src/verifiers/ProofVerifier.sol";
import {vm} from "./Vm.sol";

/// @title Cheatcodes that only these tests use
interface VmOfProofs {
    function parseJsonBytesArray(string calldata json, string calldata key) external pure returns (bytes[] memory);
}

/// @notice One of tests/vectors/proofs; tests/vectors/make_proofs.py says what the fields are.
struct Vector {
    bytes32 modelId;
    bytes32 context;
    bytes circuit;
    bytes[] parts;
    bytes manifest;
    bytes input;
    bytes output;
    bytes proof;
    uint256[] challenges;
    uint256 chunkBits;
    bytes tau;
}

/// @title The verifier, telling the challenges it drew
contract TellingVerifier is ProofVerifier {
    constructor(IModelRegistry models, uint256 chunkBits, bytes memory tauG2)
        ProofVerifier(models, chunkBits, tauG2)
    {}

    /// @notice In the order drawn.
    function challengesOf(
        bytes32 modelId,
        bytes32 context,
        bytes calldata input,
        bytes calldata output,
        bytes calldata proof
    ) external view returns (uint256[] memory drawn) {
        Run memory run = _verifyProof(modelId, context, input, output, proof)[0];
        Challenges memory c = run.challenges;
        drawn = new uint256[](8 + 2 * run.plan.rounds + run.plan.linearRounds + run.plan.mapRounds);
        uint256 count;
        drawn[count++] = c.alpha;
        if (run.network.lookups != 0) drawn[count++] = c.beta;
        (drawn[count], drawn[count + 1]) = (c.rho, c.kappa);
        count += 2;
        for (uint256 i; i < c.tau.length; ++i) {
            drawn[count++] = c.tau[i];
        }
        count = copyPoint(run, drawn, count, SIGMA, run.plan.rounds);
        count = copyPoint(run, drawn, count, RHO, run.plan.linearRounds);
        if (run.plan.isMapped) drawn[count++] = c.lambda;
        count = copyPoint(run, drawn, count, THETA, run.plan.mapRounds);
        (drawn[count], drawn[count + 1]) = (c.mu, c.zeta);
        count += 2;
        assembly {
            mstore(drawn, count)
        }
    }

    function copyPoint(Run memory run, uint256[] memory to, uint256 count, uint256 first, uint256 length)
        private
        pure
        returns (uint256)
    {
        for (uint256 i; i < length; ++i) {
            uint256 place = run.coordinates + 32 * (first + i);
            uint256 value;
            assembly {
                value := mload(place)
            }
            to[count++] = value;
        }
        return count;
    }
}

/// @title Vectors, registered in a registry of their own
abstract contract ProofFixture {
    ModelRegistry internal models = new ModelRegistry();

    function load(string memory name) internal view returns (Vector memory v) {
        string memory json = vm.readFile(string.concat("tests/vectors/proofs/", name, ".json"));
        v.modelId = vm.parseJsonBytes32(json, ".modelId");
        v.context = vm.parseJsonBytes32(json, ".context");
        v.circuit = vm.parseJsonBytes(json, ".circuit");
        v.parts = VmOfProofs(address(vm)).parseJsonBytesArray(json, ".parts");
        v.manifest = vm.parseJsonBytes(json, ".manifest");
        v.input = vm.parseJsonBytes(json, ".input");
        v.output = vm.parseJsonBytes(json, ".output");
        v.proof = vm.parseJsonBytes(json, ".proof");
        v.challenges = vm.parseJsonUintArray(json, ".challenges");
        v.chunkBits = vm.parseJsonUint(json, ".chunkBits");
        v.tau = vm.parseJsonBytes(json, ".tau");
    }

    function register(bytes memory circuit, bytes[] memory parts, bytes memory manifest) internal returns (bytes32) {
        bytes32[] memory digests = new bytes32[](parts.length);
        for (uint256 i; i < parts.length; ++i) {
            digests[i] = models.storeParameters(parts[i]);
        }
        return models.register(1, keccak256(manifest), circuit, digests, "file:manifest.json");
    }

    /// @dev The vector's model, registered, and a verifier for its setup.
    function prepare(Vector memory v) internal returns (TellingVerifier verifier) {
        vm.assertEq(register(v.circuit, v.parts, v.manifest), v.modelId);
        verifier = new TellingVerifier(models, v.chunkBits, v.tau);
    }
}
