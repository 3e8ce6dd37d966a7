// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Delivery, Evidence, Request} from "../src/libraries/Types.sol";
import {Deployment} from "./Deployment.sol";
import {vm} from "./Vm.sol";
import {RecordingConsumer} from "./hostile/Consumers.sol";

/// @title What a delivery costs; kept in contracts/snapshots, checked by scripts/contracts-test
/// @notice Each call is a transaction of its own (`isolate`), so this is what a sender pays: 21,000, calldata and cold
///         storage included.
/// forge-config: default.isolate = true
contract GasTest is Deployment {
    uint256 private constant SEATS = 16;
    bytes private output = new bytes(20);

    function setUp() public override {
        super.setUp();
        for (uint256 i = OPERATORS; i < SEATS; ++i) {
            seat(i);
        }
        // Balances that were paid before are the usual case: their slots are not zero.
        for (uint256 i; i < SEATS; ++i) {
            coprocessor.depositFor{value: 1}(operatorAt(i));
        }
    }

    function test_RequestOf128Bytes() public {
        coprocessor.request{value: 1}(
            modelId, new bytes(128), quorumPolicy(2, 0), 0, uint64(block.timestamp + 60), OWNER
        );
        vm.snapshotGasLastCall("Coprocessor", "request, input of 128 bytes");
    }

    function test_DeliverBySigners() public {
        uint8[6] memory signers = [1, 2, 3, 5, 8, 16];
        for (uint256 i; i < signers.length; ++i) {
            Request memory asked = ask(address(0xA11CE), "x", quorumPolicy(signers[i], 0), 1000, 0);
            Evidence[] memory evidence = evidenceOf(asked, output, signers[i]);
            coprocessor.deliver(asked, "", output, evidence);
            vm.snapshotGasLastCall("Coprocessor", string.concat("deliver, signers: ", vm.toString(signers[i])));
        }
    }

    function test_DeliverBatchBySize() public {
        uint8[4] memory sizes = [1, 4, 16, 64];
        for (uint256 i; i < sizes.length; ++i) {
            Delivery[] memory items = new Delivery[](sizes[i]);
            for (uint256 j; j < items.length; ++j) {
                Request memory asked = ask(address(0xA11CE), "x", quorumPolicy(2, 0), 1000, 0);
                items[j] = Delivery(asked, "", "", output, evidenceOf(asked, output, 2));
            }
            coprocessor.deliverBatch(items);
            vm.snapshotGasLastCall(
                "Coprocessor", string.concat("deliverBatch of 2 signers, items: ", vm.toString(sizes[i]))
            );
        }
    }

    function test_DeliverWithCallback() public {
        Request memory asked = ask(address(new RecordingConsumer()), "x", quorumPolicy(2, 0), 1000, 300_000);
        coprocessor.deliver(asked, "", output, evidenceOf(asked, output, 2));
        vm.snapshotGasLastCall("Coprocessor", "deliver, signers: 2, with a callback that writes four slots");
    }

    function test_DeliverSigned() public {
        uint256 key = uint256(keccak256("requester"));
        coprocessor.depositFor{value: 2000}(vm.addr(key));
        Request memory asked = nextRequest(vm.addr(key), "x", quorumPolicy(2, 0), 1000, 0);
        asked.nonce = 1 << 128;
        bytes memory signature = signDigest(key, coprocessor.computeRequestId(asked));
        coprocessor.deliverSigned(asked, signature, "", output, evidenceOf(asked, output, 2));
        vm.snapshotGasLastCall("Coprocessor", "deliverSigned, signers: 2");
    }

    /// @dev With the double's proof, which costs next to nothing: ProofGas.t.sol has what a true one costs on top.
    function test_WithoutTheProofItself() public {
        truth.learn(modelId, "x", output);
        Request memory asked = ask(address(0xA11CE), "x", proofPolicy(0, 0), 1000, 0);
        Evidence[] memory evidence = new Evidence[](1);
        evidence[0] = proofOf(asked, output, operatorAt(0));
        coprocessor.deliver(asked, "x", output, evidence);
        vm.snapshotGasLastCall("Coprocessor", "deliver, a proof without its verification");
        asked = ask(address(0xA11CE), "x", quorumPolicy(2, 600), 1000, 0);
        bytes memory lie = new bytes(22);
        coprocessor.deliver(asked, "", lie, evidenceOf(asked, lie, 2));
        Evidence memory proof = proofOf(asked, output, operatorAt(3));
        coprocessor.challenge(asked, "x", output, proof);
        vm.snapshotGasLastCall("Coprocessor", "challenge, without the proof's verification");
        bytes[] memory signatures = new bytes[](2);
        for (uint256 i; i < signatures.length; ++i) {
            signatures[i] = signDigest(keyOf(i), claimDigestOf(asked, lie));
        }
        frauds.proveWrong(claimOf(asked, lie), signatures, "x", output, proof);
        vm.snapshotGasLastCall("FraudProofs", "proveWrong of 2 signers, without the proof's verification");
    }

    function test_RegisterAModel() public {
        bytes memory part = new bytes(24_480);
        for (uint256 i; i < part.length; ++i) {
            part[i] = 0xff;
        }
        bytes32[] memory parts = new bytes32[](1);
        parts[0] = models.storeParameters(part);
        vm.snapshotGasLastCall("ModelRegistry", "storeParameters, 255 points");
        models.storeParameters(part);
        vm.snapshotGasLastCall("ModelRegistry", "storeParameters, 255 points that are stored");
        bytes memory circuit = new bytes(192);
        models.register(1, "m", circuit, parts, "ipfs://bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi");
        vm.snapshotGasLastCall("ModelRegistry", "register, circuit of 192 bytes, one part");
    }

    function test_Anchor() public {
        string memory json = vm.readFile("tests/vectors/log_proofs.json");
        uint256 i;
        // The vector from 16 to 33 leaves: the longest true proof of the file's largest tree from a power of two.
        while (keccak256(bytes(vm.parseJsonString(json, rowName(i, ".name")))) != keccak256("16-to-33")) ++i;
        anchor(16, vm.parseJsonBytes32(json, rowName(i, ".root1")), new bytes32[](0));
        vm.snapshotGasLastCall("AuditAnchor", "first anchor");
        anchor(
            33, vm.parseJsonBytes32(json, rowName(i, ".root2")), vm.parseJsonBytes32Array(json, rowName(i, ".proof"))
        );
        vm.snapshotGasLastCall("AuditAnchor", "extension from 16 to 33 leaves");
    }

    function anchor(uint64 size, bytes32 root, bytes32[] memory proof) private {
        uint256 key = uint256(keccak256("anchor key"));
        bytes32 digest = anchors.computeAnchorDigest(anchors.computeLogId("o", vm.addr(key)), size, root);
        anchors.anchor("o", vm.addr(key), size, root, proof, signDigest(key, digest));
    }

    function rowName(uint256 i, string memory key) private pure returns (string memory) {
        return string.concat(".consistency[", vm.toString(i), "]", key);
    }
}
